// Reads a QR from a picture: by the browser's own BarcodeDetector where it knows QRs, otherwise by
// zxing-wasm, which is then loaded at once, before the network may go. `makeReader()` resolves to a function that
// takes a video or an ImageBitmap and resolves to the text, or to null if there is no QR.
"use strict";

const makeReader = (() => {
  const SIDE_MAX = 960; // pixels: a QR of version 12 at arm's length still has three for a module
  const OPTIONS = { formats: ["QRCode"], maxNumberOfSymbols: 1, tryHarder: true };

  async function ofTheBrowser() {
    try {
      const formats = await BarcodeDetector.getSupportedFormats();
      return formats.includes("qr_code") ? new BarcodeDetector({ formats: ["qr_code"] }) : null;
    } catch {
      return null; // there is none, or it has no engine behind it
    }
  }

  function byZxing() {
    const { wasm } = document.body.dataset;
    const load = () =>
      ZXingWASM.prepareZXingModule({ overrides: { locateFile: () => wasm }, fireImmediately: true });
    let loading = load();
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("2d", { willReadFrequently: true });
    return async (source) => {
      const [width, height] = [source.videoWidth ?? source.width, source.videoHeight ?? source.height];
      if (!width || !height) return null; // no frame yet
      try {
        await loading;
      } catch (failure) {
        ZXingWASM.purgeZXingModule();
        loading = load(); // for the next picture
        throw failure;
      }
      const scale = Math.min(1, SIDE_MAX / Math.max(width, height));
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      context.drawImage(source, 0, 0, canvas.width, canvas.height);
      const image = context.getImageData(0, 0, canvas.width, canvas.height);
      const [found] = await ZXingWASM.readBarcodes(image, OPTIONS);
      return found?.text || null;
    };
  }

  return async () => {
    const detector = await ofTheBrowser();
    if (!detector) return byZxing();
    let zxing = null;
    return async (source) => {
      if (!zxing) {
        try {
          return (await detector.detect(source))[0]?.rawValue || null;
        } catch {
          zxing = byZxing(); // its engine is gone
        }
      }
      return zxing(source);
    };
  };
})();
