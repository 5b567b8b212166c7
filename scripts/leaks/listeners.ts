/**
 * Nothing; to be imported before whatever is to be watched → how many listeners there are on event emitters and on
 * abort signals that are still referenced.
 *
 * Watching keeps nothing alive, so that after a collection of garbage only what is really held counts.
 */
import { EventEmitter } from "node:events";

export interface Listeners {
  readonly emitters: number;
  readonly signals: number;
}

type Listener = EventListenerOrEventListenerObject | null;

/** Objects that exist as long as something else refers to them. */
class Held<Item extends object> {
  readonly #known = new WeakSet<Item>();
  readonly #items = new Set<WeakRef<Item>>();

  add(item: Item): void {
    if (this.#known.has(item)) return;
    this.#known.add(item);
    this.#items.add(new WeakRef(item));
  }

  *all(): Generator<Item> {
    for (const reference of this.#items) {
      const item = reference.deref();
      if (item === undefined) this.#items.delete(reference);
      else yield item;
    }
  }
}

const emitters = new Held<EventEmitter>();
const signals = new Held<AbortSignal>();
const listenersOf = new WeakMap<AbortSignal, Set<Listener>>();

watchEmitters();
watchSignals();

/** To be called after a collection of garbage. */
export function countListeners(): Listeners {
  let [onEmitters, onSignals] = [0, 0];
  for (const emitter of emitters.all()) {
    for (const name of emitter.eventNames()) onEmitters += emitter.listenerCount(name);
  }
  for (const signal of signals.all()) {
    // What waited for it has been called.
    if (!signal.aborted) onSignals += listenersOf.get(signal)?.size ?? 0;
  }
  return { emitters: onEmitters, signals: onSignals };
}

/** `once` goes by `on`; what a library has taken over from the prototype is this too, if it was loaded later. */
function watchEmitters(): void {
  for (const name of ["on", "addListener", "prependListener"] as const) {
    const original = EventEmitter.prototype[name];
    EventEmitter.prototype[name] = function (this: EventEmitter, ...args: Parameters<typeof original>) {
      emitters.add(this);
      return original.apply(this, args) as typeof this;
    };
  }
}

function watchSignals(): void {
  const { addEventListener, removeEventListener } = EventTarget.prototype;
  EventTarget.prototype.addEventListener = function (this: EventTarget, ...args: Parameters<typeof addEventListener>) {
    if (this instanceof AbortSignal) {
      signals.add(this);
      const listeners = listenersOf.get(this) ?? new Set();
      listenersOf.set(this, listeners.add(args[1]));
    }
    return addEventListener.apply(this, args);
  };
  EventTarget.prototype.removeEventListener = function (
    this: EventTarget,
    ...args: Parameters<typeof removeEventListener>
  ) {
    if (this instanceof AbortSignal) listenersOf.get(this)?.delete(args[1]);
    return removeEventListener.apply(this, args);
  };
}
