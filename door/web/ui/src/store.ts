import { useEffect, useReducer } from "preact/hooks";

/** State that components show: they are drawn again when it changes. */
export class Store {
  private seen = new Set<() => void>();

  subscribe(f: () => void): () => void {
    this.seen.add(f);
    return () => this.seen.delete(f);
  }

  protected changed(): void {
    for (const f of this.seen) f();
  }
}

export function useStore<S extends Store>(s: S): S {
  const [, again] = useReducer((n: number) => n + 1, 0);
  useEffect(() => s.subscribe(() => again(undefined)), [s]);
  return s;
}
