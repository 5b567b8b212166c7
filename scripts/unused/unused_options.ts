/**
 * The compiled project → optional parameters and options of src/ that the program never sets.
 *
 * Every option must be set by the program, or must have a default and be set by a test. Passing an option on does not
 * count as setting it. The producer module, which is for other programs, is not checked.
 *
 * An option is an optional parameter of a function with a body, or an optional property: of a type named …Options, or
 * of the type written at a destructured parameter. A default is an initializer or the right side of `??`.
 */
import ts from "typescript";
import { type Compiled, eachNode, pathOf } from "./compile.ts";
import { type Breach, isTestCode } from "./project.ts";

type Option = ts.ParameterDeclaration | ts.PropertySignature;

interface Facts {
  /** What sets the option: the program, a test, or another option that is passed on. */
  readonly origins: Set<"program" | "test" | Option>;
  hasDefault: boolean;
}

export function checkUnusedOptions({ sources, checker }: Compiled): Breach[] {
  const options = new Map<Option, Facts>();
  for (const source of sources) {
    if (isChecked(source.fileName)) eachNode(source, (node) => collectOption(node, options));
  }
  const finder = new Finder(checker, options);
  for (const source of sources) {
    const origin = isTestCode(pathOf(source)) ? "test" : "program";
    eachNode(source, (node) => finder.visit(node, origin));
  }
  const breaches: Breach[] = [];
  for (const option of options.keys()) {
    const isSetBy = (origin: "program" | "test") => isSet(option, origin, options);
    if (isSetBy("program") || isSetBy("test") && hasDefault(option, options)) continue;
    const source = option.getSourceFile();
    const line = source.getLineAndCharacterOfPosition(option.getStart()).line + 1;
    const name = ts.isIdentifier(option.name) ? option.name.text : option.name.getText().replace(/\s+/g, " ");
    const who = isSetBy("test") ? "Only tests set" : "Nothing sets";
    breaches.push({ file: pathOf(source), line, message: `${who} the option ${name}` });
  }
  return breaches;
}

function isChecked(fileName: string): boolean {
  return fileName.startsWith("/src/") && !fileName.startsWith("/src/producer/") && !isTestCode(fileName.slice(1));
}

function collectOption(node: ts.Node, options: Map<Option, Facts>): void {
  const add = (option: Option, hasDefault: boolean) => options.set(option, { origins: new Set(), hasDefault });
  const addProperties = (type: ts.Node) =>
    eachNode(type, (member) => {
      if (ts.isPropertySignature(member) && member.questionToken !== undefined) add(member, false);
    });
  if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) {
    if (node.name.text.endsWith("Options")) addProperties(node);
  } else if (ts.isParameter(node) && isOfOurs(node.parent)) {
    if (node.questionToken !== undefined || node.initializer !== undefined) add(node, node.initializer !== undefined);
    if (ts.isObjectBindingPattern(node.name) && node.type !== undefined) addProperties(node.type);
  }
}

/**
 * Whether this is a function with a body. Class expressions and overriding methods are excluded, because libraries may
 * call them.
 */
function isOfOurs(callable: ts.SignatureDeclaration): boolean {
  const isOverride = ts.isMethodDeclaration(callable) &&
    callable.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.OverrideKeyword);
  return "body" in callable && callable.body !== undefined && !ts.isClassExpression(callable.parent) && !isOverride;
}

function isSet(
  option: Option,
  by: "program" | "test",
  options: ReadonlyMap<Option, Facts>,
  visited = new Set<Option>(),
): boolean {
  visited.add(option);
  return [...options.get(option)!.origins].some((origin) =>
    origin === by || typeof origin === "object" && !visited.has(origin) && isSet(origin, by, options, visited)
  );
}

/** Whether the option, or an option that it is passed on to, has a default. */
function hasDefault(option: Option, options: ReadonlyMap<Option, Facts>): boolean {
  return [...options].some(([other, facts]) => facts.hasDefault && (other === option || facts.origins.has(option)));
}

class Finder {
  readonly #checker: ts.TypeChecker;
  readonly #options: ReadonlyMap<Option, Facts>;

  constructor(checker: ts.TypeChecker, options: ReadonlyMap<Option, Facts>) {
    this.#checker = checker;
    this.#options = options;
  }

  /** Marks the options that this node sets, and those for which it has a default. */
  visit(node: ts.Node, origin: "program" | "test"): void {
    if (ts.isObjectLiteralExpression(node)) this.#visitLiteral(node, origin);
    else if (ts.isCallExpression(node) || ts.isNewExpression(node)) this.#visitCall(node, origin);
    else if (ts.isBindingElement(node) && node.initializer !== undefined) {
      for (const option of this.#boundTo(node)) this.#options.get(option)!.hasDefault = true;
    } else if (ts.isBinaryExpression(node)) {
      const { kind } = node.operatorToken;
      if (kind === ts.SyntaxKind.QuestionQuestionToken) {
        for (const option of this.#optionsBehind(node.left)) this.#options.get(option)!.hasDefault = true;
      } else if (kind === ts.SyntaxKind.EqualsToken && ts.isPropertyAccessExpression(node.left)) {
        this.#mark(this.#checker.getSymbolAtLocation(node.left), this.#sources(node.right, origin));
      }
    }
  }

  #visitLiteral(literal: ts.ObjectLiteralExpression, origin: "program" | "test"): void {
    const wanted = this.#checker.getContextualType(literal);
    if (wanted === undefined) return;
    for (const member of literal.properties) {
      if (ts.isSpreadAssignment(member)) {
        this.#markAll(wanted, member.expression, origin);
      } else if (member.name !== undefined && ts.isIdentifier(member.name)) {
        const value = ts.isPropertyAssignment(member)
          ? member.initializer
          : ts.isShorthandPropertyAssignment(member)
          ? member.name
          : undefined;
        const sources = value === undefined ? [origin] : this.#sources(value, origin);
        for (const property of propertiesNamed(wanted, member.name.text)) this.#mark(property, sources);
      }
    }
  }

  #visitCall(call: ts.CallExpression | ts.NewExpression, origin: "program" | "test"): void {
    const parameters = this.#checker.getResolvedSignature(call)?.declaration?.parameters ?? [];
    const args = call.arguments ?? [];
    args.forEach((argument, at) => {
      const parameter = parameters[at];
      if (parameter !== undefined && this.#options.has(parameter as Option)) {
        for (const source of this.#sources(argument, origin)) {
          this.#options.get(parameter as Option)!.origins.add(source);
        }
      }
      const wanted = ts.isObjectLiteralExpression(argument) ? undefined : this.#checker.getContextualType(argument);
      if (wanted !== undefined) this.#markAll(wanted, argument, origin);
    });
  }

  /** An expression of type `wanted` sets every option that its own type has. */
  #markAll(wanted: ts.Type, value: ts.Expression, origin: "program" | "test"): void {
    const type = this.#checker.getTypeAtLocation(value);
    for (const part of wanted.isUnion() ? wanted.types : [wanted]) {
      for (const property of part.getProperties()) {
        if (!property.declarations?.some((declared) => this.#options.has(declared as Option))) continue;
        const own = propertiesNamed(type, property.name).flatMap(({ declarations = [] }) => declarations);
        for (const declared of own) {
          if (property.declarations.includes(declared)) continue;
          this.#mark(property, [this.#options.has(declared as Option) ? declared as Option : origin]);
        }
      }
    }
  }

  #mark(property: ts.Symbol | undefined, sources: readonly ("program" | "test" | Option)[]): void {
    for (const declared of property?.declarations ?? []) {
      const facts = this.#options.get(declared as Option);
      for (const source of facts === undefined ? [] : sources) facts!.origins.add(source);
    }
  }

  /** Returns the options that an expression passes on; if there are none, `origin`. */
  #sources(value: ts.Expression, origin: "program" | "test"): readonly ("program" | "test" | Option)[] {
    const options = this.#optionsBehind(value);
    return options.length === 0 ? [origin] : options;
  }

  /** Returns the options without a default whose value the expression is. */
  #optionsBehind(expression: ts.Expression): readonly Option[] {
    const symbol = ts.isIdentifier(expression) && ts.isShorthandPropertyAssignment(expression.parent)
      ? this.#checker.getShorthandAssignmentValueSymbol(expression.parent)
      : this.#checker.getSymbolAtLocation(expression);
    return (symbol?.declarations ?? []).flatMap((declared) => {
      if (ts.isBindingElement(declared)) return declared.initializer === undefined ? this.#boundTo(declared) : [];
      if (ts.isParameter(declared) && declared.initializer !== undefined) return [];
      return this.#options.has(declared as Option) ? [declared as Option] : [];
    });
  }

  /** Returns the options that a destructured name is taken from. */
  #boundTo(element: ts.BindingElement): readonly Option[] {
    if (!ts.isObjectBindingPattern(element.parent)) return [];
    const name = element.propertyName ?? element.name;
    if (!ts.isIdentifier(name)) return [];
    const type = this.#checker.getTypeAtLocation(element.parent);
    return propertiesNamed(type, name.text).flatMap(({ declarations = [] }) => declarations)
      .filter((declared) => this.#options.has(declared as Option)) as Option[];
  }
}

function propertiesNamed(type: ts.Type, name: string): ts.Symbol[] {
  const parts = type.isUnion() ? type.types : [type];
  return parts.flatMap((part) => part.getProperty(name) ?? []);
}
