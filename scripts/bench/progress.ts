/** The current step → on a terminal, one line that is overwritten; elsewhere, a new line for each step. */

export class Progress {
  readonly #begun = performance.now();
  readonly #isTerminal = Deno.stdout.isTerminal();
  part = "";

  show(text: string): void {
    const seconds = Math.round((performance.now() - this.#begun) / 1000);
    this.#write(`${String(seconds).padStart(4)} s  ${this.part === "" ? "" : `${this.part}: `}${text}`);
  }

  /** Shows a line that is not overwritten. */
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
