import { createSubscriber } from "svelte/reactivity";

/** Whether the window fits a query, now and when it changes. The class of Svelte would come with each screen, beside the time. */
export class Media {
  #list: MediaQueryList;
  #follow: () => void;

  constructor(query: string) {
    this.#list = matchMedia(`(${query})`);
    this.#follow = createSubscriber((update) => {
      this.#list.addEventListener("change", update);
      return () => this.#list.removeEventListener("change", update);
    });
  }

  get current(): boolean {
    this.#follow();
    return this.#list.matches;
  }
}
