declare module "*/static/assets/markdown.js" {
  /** A view of a text that grows at its end. */
  export class Markdown {
    element: HTMLElement;
    update(part: { text: string }): void;
  }
}
