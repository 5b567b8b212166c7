/**
 * Nothing → the number of listeners on event emitters and abort signals that are still referenced. Import this module
 * before the code that it has to watch.
 *
 * The watched objects are referenced weakly, so after a garbage collection only objects that other code references are
 * counted.
 */
import { EventEmitter } from "node:events";

export interface Listeners {
  readonly emitters: number;
  readonly signals: number;
}

type Listener = EventListenerOrEventListenerObject | null;

/** A collection of weakly referenced objects. */
class WeakCollection<Item extends object> {
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

const emitters = new WeakCollection<EventEmitter>();
const signals = new WeakCollection<AbortSignal>();
const listenersOf = new WeakMap<AbortSignal, Set<Listener>>();

watchEmitters();
watchSignals();

/** Call this after a garbage collection. */
export function countListeners(): Listeners {
  let [onEmitters, onSignals] = [0, 0];
  for (const emitter of emitters.all()) {
    for (const name of emitter.eventNames()) onEmitters += emitter.listenerCount(name);
  }
  for (const signal of signals.all()) {
    // The listeners of an aborted signal have been called already.
    if (!signal.aborted) onSignals += listenersOf.get(signal)?.size ?? 0;
  }
  return { emitters: onEmitters, signals: onSignals };
}

/** `once` calls `on`. Libraries that copy methods of the prototype get these if they are loaded later. */
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
