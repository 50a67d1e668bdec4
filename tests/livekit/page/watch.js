// Put before a page's own scripts: notes when the page hears something, and holds its microphone back.
globalThis.notes = [];
const note = (what, fields = {}) => notes.push({ what, time: Date.now() / 1000, ...fields });

{
  const AUDIBLE = 0.01; // of the loudest there is
  const PAUSE = 1000; // milliseconds of silence after which what was heard is over

  const listen = (stream) => {
    const audio = new AudioContext();
    const analyser = audio.createAnalyser();
    audio.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    let last = 0;
    setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const level = Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
      const now = Date.now();
      if (level > AUDIBLE) {
        if (!last) note("heard_started");
        last = now;
      } else if (last && now - last > PAUSE) {
        note("heard_ended", { time: last / 1000 });
        last = 0;
      }
    }, 20);
  };

  // Whatever a page plays.
  const source = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, "srcObject");
  Object.defineProperty(HTMLMediaElement.prototype, "srcObject", {
    ...source,
    set(stream) {
      source.set.call(this, stream);
      if (stream?.getAudioTracks().length) listen(stream);
    },
  });

  // Like a user who allows the microphone late. Chromium plays its microphone file from then on.
  const gate = new Promise((open) => (globalThis.allowMicrophone = open));
  const devices = navigator.mediaDevices;
  const getUserMedia = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (constraints) => {
    await gate;
    note("speaking");
    return getUserMedia(constraints);
  };
}
