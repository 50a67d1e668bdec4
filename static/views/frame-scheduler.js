// Draws at most once a frame; in a hidden tab, which has no frames, once a second, so that changes do not pile up.

export class FrameScheduler {
  #cancel = null;

  constructor(draw) {
    this.draw = draw;
    document.addEventListener("visibilitychange", () => {
      this.cancel();
      this.request();
    });
  }

  request() {
    if (this.#cancel) return;
    const run = () => {
      this.#cancel = null;
      this.draw();
    };
    if (document.hidden) {
      const timer = setTimeout(run, 1000);
      this.#cancel = () => clearTimeout(timer);
    } else {
      const frame = requestAnimationFrame(run);
      this.#cancel = () => cancelAnimationFrame(frame);
    }
  }

  cancel() {
    this.#cancel?.();
    this.#cancel = null;
  }
}
