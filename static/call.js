// One call: in a LiveKit room with a microphone, by livekit-client. What is seen of it is in call-bar.js.

import { microphone, over, unreached } from "./call-words.js";
import { Level } from "./level.js";

const LONELY = 10_000; // ms after which it is said that no agent has come

const lib = () => import(new URL("vendor/livekit-client.esm.mjs", import.meta.url));

/** Load livekit-client, which is large: only when somebody talks. Throws an error whose message says what to do. */
export async function load() {
  try {
    const livekit = await lib();
    livekit.setLogLevel("error"); // the page itself says what happens
    return livekit;
  } catch {
    throw new Error("livekit-client could not be loaded from the hub that served this page: reload the page, or get it as docs/talking.md says.");
  }
}

export class Call {
  /** `livekit`: the library; `room`: its name; `changed()`: something below has; `ended(sentence)`: "" where it was left. */
  constructor(livekit, room, { changed, ended }) {
    this.livekit = livekit;
    this.name = room;
    this.changed = changed;
    this.ended = ended;
    this.phase = "connecting"; // connected, reconnecting, over
    this.muted = true;
    this.captured = null; // the microphone's track, from when the browser has given it
    this.asking = false; // the microphone is being turned on or off, perhaps with the browser's question on the screen
    this.trouble = ""; // what is the matter with the microphone
    this.silenced = false; // the browser plays nothing until somebody clicks
    this.lonely = false; // no agent is there
    this.met = false; // one was
    this.devices = []; // microphones, as `{deviceId, label}`
    this.device = "";
    this.heard = 0; // how loud the microphone and the agent are, from 0 to 1
    this.spoken = 0;
    this.audio = document.createElement("div"); // what plays
    this.audio.hidden = true;
    this.levels = new Map(); // track → its level
    // Not a secure context: livekit-client names its texts with this.
    crypto.randomUUID ??= () => "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (c) => (c ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (c / 4)))).toString(16));
    this.room = new livekit.Room({ audioCaptureDefaults: { echoCancellation: true, noiseSuppression: true, autoGainControl: true } });
    this.#listen();
  }

  /** Join; throws an error that says why that cannot be. Then the microphone is asked for, and a call without one goes on. */
  async join({ server_url: address, participant_token: token }) {
    try {
      await this.room.connect(address, token);
    } catch (error) {
      this.phase = "over";
      this.#close();
      throw new Error(unreached(error, address));
    }
    document.body.append(this.audio);
    this.#set({ phase: "connected", silenced: !this.room.canPlaybackAudio });
    this.#await();
  }

  /** Everybody else who is in the room: `{name, agent, state}`. */
  get people() {
    return [...this.room.remoteParticipants.values()].map((one) => ({
      name: one.name || one.identity,
      agent: one.isAgent,
      state: one.attributes["lk.agent.state"] ?? "",
    }));
  }

  /** Have the microphone on or off. */
  async mute(muted) {
    if (this.asking) return;
    this.asking = true;
    try {
      if (this.#microphone || muted) await this.room.localParticipant.setMicrophoneEnabled(!muted);
      else await this.#capture();
      this.trouble = "";
    } catch (error) {
      this.trouble = microphone(error, isSecureContext);
    }
    this.asking = false;
    this.#heed();
    await this.#microphones();
  }

  // Somebody may leave while the browser still asks whether it may: what it gives then is not wanted any more.
  async #capture() {
    const { localParticipant } = this.room;
    [this.captured] = await localParticipant.createTracks({ audio: true });
    try {
      if (this.phase !== "over") await localParticipant.publishTrack(this.captured);
    } catch (error) {
      this.captured.stop();
      throw error;
    }
    if (this.phase === "over") this.captured.stop();
  }

  get #microphone() {
    return this.room.localParticipant.getTrackPublication(this.livekit.Track.Source.Microphone)?.track;
  }

  // Whether the microphone is on, as LiveKit has it: it turns it off where it is unplugged, or the room's operator wants that.
  #heed() {
    if (this.phase === "over") return;
    const muted = !this.room.localParticipant.isMicrophoneEnabled;
    if (muted && !this.muted && this.#microphone?.mediaStreamTrack.readyState === "ended") this.trouble = microphone({ name: "NotFoundError" });
    this.#set({ muted });
  }

  /** Use another microphone. */
  async choose(device) {
    try {
      await this.room.switchActiveDevice("audioinput", device);
      this.trouble = "";
    } catch (error) {
      this.trouble = microphone(error, isSecureContext);
    }
    await this.#microphones();
  }

  /** Write to the agent, as its text input expects it. */
  say(text) {
    return this.room.localParticipant.sendText(text, { topic: "lk.chat" });
  }

  /** Play what the browser has held back; to be called from a click. */
  async hear() {
    await this.room.startAudio().catch(() => {});
    this.#set({ silenced: !this.room.canPlaybackAudio });
  }

  leave() {
    return this.room.disconnect();
  }

  #set(some) {
    Object.assign(this, some);
    this.changed();
  }

  #listen() {
    const { RoomEvent, Track } = this.livekit;
    const people = () => {
      this.#await();
      this.changed();
    };
    this.room
      .on(RoomEvent.TrackSubscribed, (track, publication, participant) => {
        if (track.kind !== Track.Kind.Audio) return;
        this.audio.append(track.attach());
        this.#measure(track, (level) => (this.heard = participant.isAgent ? level : this.heard));
      })
      .on(RoomEvent.TrackUnsubscribed, (track) => {
        for (const element of track.detach()) element.remove();
        this.#forget(track);
        this.heard = 0;
      })
      .on(RoomEvent.ParticipantConnected, people)
      .on(RoomEvent.ParticipantDisconnected, people)
      .on(RoomEvent.ParticipantAttributesChanged, people)
      .on(RoomEvent.AudioPlaybackStatusChanged, () => this.#set({ silenced: !this.room.canPlaybackAudio }))
      .on(RoomEvent.MediaDevicesChanged, () => this.#microphones())
      .on(RoomEvent.TrackMuted, (_, participant) => participant.isLocal && !this.asking && this.#heed())
      .on(RoomEvent.TrackUnmuted, (_, participant) => participant.isLocal && !this.asking && this.#heed())
      .on(RoomEvent.Reconnecting, () => this.#set({ phase: "reconnecting" }))
      .on(RoomEvent.SignalReconnecting, () => this.#set({ phase: "reconnecting" }))
      .on(RoomEvent.Reconnected, () => this.#set({ phase: "connected" }))
      .on(RoomEvent.Disconnected, (reason) => {
        if (this.phase === "connecting" || this.phase === "over") return; // `join` says it
        this.#close();
        this.#set({ phase: "over" });
        this.ended(over(reason));
      });
  }

  // An agent is expected: a caller who is alone for long is told so.
  #await() {
    const came = this.people.some((one) => one.agent);
    if (came) {
      clearTimeout(this.waiting);
      this.lonely = false;
      this.met = true;
      this.waiting = 0;
    } else this.waiting ||= setTimeout(() => this.phase !== "over" && this.#set({ lonely: true }), LONELY);
  }

  #measure(track, show) {
    const { mediaStreamTrack } = track;
    if (this.levels.get(track)?.of === mediaStreamTrack) return;
    this.#forget(track);
    const level = new Level(mediaStreamTrack, (value) => {
      show(value);
      this.loud?.();
    });
    this.levels.set(track, Object.assign(level, { of: mediaStreamTrack }));
  }

  #forget(track) {
    this.levels.get(track)?.close();
    this.levels.delete(track);
  }

  async #microphones() {
    if (this.phase === "over") return;
    const devices = await this.livekit.Room.getLocalDevices("audioinput", false).catch(() => []);
    if (this.phase === "over") return; // meanwhile
    const track = this.#microphone;
    if (track) this.#measure(track, (level) => (this.spoken = this.muted ? 0 : level)); // of another device it is another
    const device = (await track?.getDeviceId().catch(() => "")) ?? "";
    this.#set({ devices: devices.filter(({ deviceId }) => deviceId), device });
  }

  #close() {
    clearTimeout(this.waiting);
    this.captured?.stop();
    for (const track of [...this.levels.keys()]) this.#forget(track);
    this.audio.remove();
  }
}
