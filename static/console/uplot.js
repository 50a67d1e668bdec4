// Loads uPlot, a script that is no module, once.

let loading = null;

/** A promise of uPlot's class. */
export function uPlotClass() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("../vendor/uplot/uPlot.iife.min.js", import.meta.url).href;
    script.onload = () => resolve(globalThis.uPlot);
    script.onerror = () => {
      loading = null;
      script.remove();
      reject(new Error("The charts cannot be loaded."));
    };
    document.head.append(script);
  });
  return loading;
}
