/**
 * What a page does while an answer arrives, in ms of its own clock (`performance.now()`).
 *
 * Put into a page before its own scripts. It looks only at the end of what is drawn, never at the whole.
 */
(() => {
  /** Bytes of the messages that came from kernels. */
  let received = 0;
  const Socket = window.WebSocket;
  window.WebSocket = class extends Socket {
    constructor(url, protocols) {
      super(url, protocols);
      if (!/\/api\/kernels\/[^/]+\/channels/.test(url)) return;
      this.addEventListener("message", ({ data }) => (received += data.byteLength ?? data.size ?? data.length));
    }
  };

  /** [start, duration] of the page's tasks over 50 ms. */
  const tasks = [];
  const observer = new PerformanceObserver((list) => keep(list.getEntries()));
  const keep = (entries) => tasks.push(...entries.map(({ startTime, duration }) => [startTime, duration]));
  observer.observe({ type: "longtask" });

  /** The last characters of the last text in a node that is not blank. */
  const end = (node) => {
    for (let child = node.lastChild; child; child = child.previousSibling) {
      const isText = child.nodeType === Node.TEXT_NODE;
      const text = isText ? child.substringData(Math.max(0, child.length - 16), 16).trimEnd() : end(child);
      if (text) return text;
    }
    return "";
  };

  const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));

  class Watch {
    /** [time, highest number drawn, bytes received so far], whenever the number has grown. */
    steps = [];
    /** The last change of the live answer; when the saved one was drawn. */
    live = null;
    saved = null;
    #cell;
    #selectors;
    #target = null;
    #highest = -1;
    #before = received;

    /** The selectors give the element whose last text is the newest number, live and saved; `saved` may be "". */
    constructor(cell, live, saved) {
      this.#cell = cell;
      this.#selectors = [live, saved];
      tasks.length = 0;
      const look = () => this.#look();
      new MutationObserver(look).observe(cell, { subtree: true, childList: true, characterData: true });
    }

    #look() {
      const now = performance.now();
      const [live, saved] = this.#selectors;
      if (!this.#target?.isConnected) {
        this.#target = this.#cell.querySelector(live) ?? (saved && this.#cell.querySelector(saved));
      }
      if (!this.#target) return;
      if (this.#target.matches(live)) this.live = now;
      else this.saved ??= now;
      const number = Number(/\d+$/.exec(end(this.#target))?.[0] ?? -1);
      if (number <= this.#highest) return;
      this.#highest = number;
      this.steps.push([now, number, received - this.#before]);
    }

    /**
     * Waits until the number `last` has been drawn, and the saved output, or nothing has changed for `patience` ms; then
     * for one second without a long task.
     */
    async settled(last, patience) {
      const isDrawn = () => this.#highest >= last && !(this.#selectors[1] && this.saved === null);
      for (let start = performance.now(); !isDrawn(); await sleep(100)) {
        if (performance.now() - Math.max(start, this.live ?? 0) > patience) break;
      }
      for (let count = -1; count !== tasks.length; await sleep(1000)) count = tasks.length;
      keep(observer.takeRecords());
      return { steps: this.steps, live: this.live, saved: this.saved, received: received - this.#before, tasks };
    }
  }

  window.watchPaint = (cell, live, saved) => (window.paint = new Watch(cell, live, saved));
})();
