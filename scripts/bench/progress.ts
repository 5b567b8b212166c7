/** What is being done → one line that is written over on a terminal, a line for each elsewhere. */

export class Progress {
  readonly #begun = performance.now();
  readonly #isTerminal = Deno.stdout.isTerminal();
  part = "";

  show(text: string): void {
    const seconds = Math.round((performance.now() - this.#begun) / 1000);
    this.#write(`${String(seconds).padStart(4)} s  ${this.part === "" ? "" : `${this.part}: `}${text}`);
  }

  /** Something that is to stay. */
  done(text: string): void {
    this.part = "";
    this.show(text);
    if (this.#isTerminal) console.log();
  }

  #write(line: string): void {
    if (!this.#isTerminal) return console.log(line);
    const { columns } = Deno.consoleSize();
    Deno.stdout.writeSync(new TextEncoder().encode(`\r\x1b[K${[...line].slice(0, columns - 1).join("")}`));
  }
}
