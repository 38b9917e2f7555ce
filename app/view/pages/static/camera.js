// The camera at the back, and its light where it has one. `makeCamera(video)` shows it in `video`.
"use strict";

const makeCamera = (video) => {
  const WANTED = {
    audio: false,
    video: { facingMode: { ideal: "environment" }, width: { ideal: 1280 }, height: { ideal: 720 } },
  };
  let stream = null;
  let starting = null;

  const track = () => stream?.getVideoTracks()[0];

  async function open() {
    stream = await navigator.mediaDevices.getUserMedia(WANTED);
    video.srcObject = stream;
    await video.play();
  }

  // Resolves once there are frames; rejects if there is no camera, or it may not be used.
  async function start() {
    if (track()?.readyState === "live") return;
    starting ??= open().finally(() => (starting = null));
    await starting;
  }

  function stop() {
    stream?.getTracks().forEach((each) => each.stop());
    stream = video.srcObject = null;
  }

  const hasLight = () => Boolean(track()?.getCapabilities?.().torch);

  const light = (on) => track()?.applyConstraints({ advanced: [{ torch: on }] }).catch(() => {});

  return { start, stop, hasLight, light };
};
