/**
 * The files of the project → TypeScript's syntax trees and a checker that resolves names.
 *
 * Packages and Deno's globals are not resolved, so that only the project is read. Their types are `any`.
 */
import ts from "typescript";
import type { Project } from "./project.ts";

export interface Compiled {
  readonly sources: readonly ts.SourceFile[];
  readonly checker: ts.TypeChecker;
}

export function compile(project: Project): Compiled {
  const settings: ts.CompilerOptions = {
    allowImportingTsExtensions: true,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    noEmit: true,
    strict: true,
    target: ts.ScriptTarget.ESNext,
    lib: ["lib.esnext.d.ts"],
    types: [],
  };
  const host = ts.createCompilerHost(settings);
  const read = host.getSourceFile;
  host.getCurrentDirectory = () => "/";
  host.fileExists = (path) => project.has(path.slice(1));
  host.directoryExists = () => true;
  host.readFile = (path) => project.get(path.slice(1));
  host.getSourceFile = (path, language) => {
    const text = project.get(path.slice(1));
    return text === undefined ? read(path, language) : ts.createSourceFile(path, text, language, true);
  };
  const program = ts.createProgram([...project.keys()].map((file) => `/${file}`), settings, host);
  const sources = program.getSourceFiles().filter((source) => project.has(pathOf(source)));
  return { sources, checker: program.getTypeChecker() };
}

/** Visits the node and all its descendants, in the order of the text. */
export function eachNode(node: ts.Node, look: (node: ts.Node) => void): void {
  look(node);
  node.forEachChild((child) => eachNode(child, look));
}

/** The file's path in the project. */
export function pathOf(source: ts.SourceFile): string {
  return source.fileName.slice(1);
}
