// Gives pages that are opened from a disk the search: browsers refuse a Worker there, so its script runs in a frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.title = "search";
      document.body.append(this.frame);
      const inner = this.frame.contentWindow;
      const load = url => new Promise((done, failed) => {
        const script = inner.document.createElement("script");
        Object.assign(script, { src: url, onload: done, onerror: failed });
        inner.document.head.append(script);
      });
      // in a frame scripts load one after another, so what asks for them gets a promise
      inner.importScripts = (...urls) => urls.reduce((before, url) => before.then(() => load(url)), Promise.resolve());
      inner.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }));
      this.ready = load(new URL(address, document.baseURI).href);
    }
    postMessage(data) {
      const event = () => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
      this.ready = this.ready.then(event);
    }
    terminate() {
      this.frame.remove();
    }
  };
}
