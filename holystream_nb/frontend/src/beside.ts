import { make } from "./lane";
import type { Picture, Source } from "./protocol";

const DRAWN = /^data:image\/(?:png|jpe?g|webp|gif);base64,[A-Za-z0-9+/]+={0,2}$/;

/** Under an answer: its pictures, and what it cites as numbered links. Only data: is drawn; nothing is loaded. */
export class Beside {
  readonly element = make("div", "hs-beside");
  #sources: Source[] | undefined;
  #pictures: Picture[] | undefined;

  constructor(readonly label: string) {
    this.element.hidden = true;
  }

  /** Builds it anew where there is something else than before. */
  draw(sources: Source[] = NONE, pictures: Picture[] = NONE): void {
    if (this.#sources === sources && this.#pictures === pictures) return;
    this.#sources = sources;
    this.#pictures = pictures;
    this.element.replaceChildren(...pictures.map((each) => this.#picture(each)));
    if (sources.length) {
      const list = make("ol", "hs-sources");
      list.append(...sources.map(cited));
      this.element.append(make("div", "hs-sources-title", "Sources"), list);
    }
    this.element.hidden = !this.element.childElementCount;
  }

  #picture({ words, data, address, host }: Picture): HTMLElement {
    if (DRAWN.test(data)) {
      const image = make("img", "hs-picture");
      image.alt = `${words} by ${this.label}`;
      image.src = data;
      return image;
    }
    const line = make("div", "hs-picture-line", "🖼 ");
    line.append(...linked(words, address, host));
    return line;
  }
}

const NONE: never[] = [];

function cited({ title, address, host }: Source): HTMLElement {
  const item = make("li", "");
  item.append(...linked(title, address, host));
  return item;
}

/** Words that lead to an address, and whose it is; only the words where it is neither http: nor https:. */
function linked(words: string, address: string, host: string): (Node | string)[] {
  if (!/^https?:\/\/[a-z0-9]/i.test(address)) return [words];
  const link = make("a", "", words);
  link.href = address;
  link.target = "_blank";
  link.rel = "noopener noreferrer nofollow";
  return [link, make("span", "hs-host", ` · ${host}`)];
}
