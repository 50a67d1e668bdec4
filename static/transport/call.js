// A call in a LiveKit room, with livekit-client.

import { connectionProblem, endReason, microphoneProblem } from "../words/calls.js";
import { AudioMeter } from "./audio-meter.js";

const ALONE = 10_000; // ms after which a caller without an agent is told so

const lib = () => import(new URL("../vendor/livekit-client.esm.mjs", import.meta.url));

/** Load livekit-client, which is large, when it is needed. Throws an error that says what to do. */
export async function load() {
  try {
    const livekit = await lib();
    livekit.setLogLevel("error"); // the page itself reports what happens
    return livekit;
  } catch {
    throw new Error("livekit-client could not be loaded from the hub that served this page. Reload the page, or install it as the guide describes.");
  }
}

export class Call {
  /** `livekit`: the library; `room`: its name; `changed()`: a property has changed; `ended(sentence)`: why, "" if the caller left. */
  constructor(livekit, room, { changed, ended }) {
    this.livekit = livekit;
    this.name = room;
    this.changed = changed;
    this.ended = ended;
    this.phase = "connecting"; // connected, reconnecting, over
    this.muted = true;
    this.captured = null; // the microphone's track, once the browser has provided it
    this.asking = false; // the microphone is being turned on or off, perhaps while the browser asks for permission
    this.problem = ""; // what is wrong with the microphone
    this.silenced = false; // the browser plays nothing before a click
    this.alone = false; // no agent is there
    this.met = false; // an agent has been there
    this.devices = []; // microphones, as `{deviceId, label}`
    this.device = "";
    this.heard = 0; // volume of the agent and of the microphone, from 0 to 1
    this.spoken = 0;
    this.audio = document.createElement("div"); // the playing tracks
    this.audio.hidden = true;
    this.meters = new Map(); // track → its AudioMeter
    // livekit-client needs this, which insecure contexts lack.
    crypto.randomUUID ??= () => "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (c) => (c ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (c / 4)))).toString(16));
    this.room = new livekit.Room({ audioCaptureDefaults: { echoCancellation: true, noiseSuppression: true, autoGainControl: true } });
    this.#listen();
  }

  /** Join without a microphone. Throws an error that says why that is impossible. */
  async join({ server_url: address, participant_token: token }) {
    try {
      await this.room.connect(address, token);
    } catch (error) {
      this.phase = "over";
      this.#close();
      throw new Error(connectionProblem(error, address));
    }
    document.body.append(this.audio);
    this.#set({ phase: "connected", silenced: !this.room.canPlaybackAudio });
    this.#await();
  }

  /** The other participants: `{name, agent, state}`. */
  get people() {
    return [...this.room.remoteParticipants.values()].map(({ name, identity, isAgent, attributes }) => ({
      name: name || identity,
      agent: isAgent,
      state: attributes["lk.agent.state"] ?? "",
    }));
  }

  /** Turn the microphone off or on. */
  async mute(muted) {
    if (this.asking) return;
    this.asking = true;
    try {
      if (this.#microphone || muted) await this.room.localParticipant.setMicrophoneEnabled(!muted);
      else await this.#capture();
      this.problem = "";
    } catch (error) {
      this.problem = microphoneProblem(error, isSecureContext);
    }
    this.asking = false;
    this.#syncMuted();
    await this.#microphones();
  }

  // The call may end while the browser asks for permission: then the track is not needed.
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

  // LiveKit turns the microphone off when it is unplugged or muted by the operator of the room.
  #syncMuted() {
    if (this.phase === "over") return;
    const muted = !this.room.localParticipant.isMicrophoneEnabled;
    if (muted && !this.muted && this.#microphone?.mediaStreamTrack.readyState === "ended") this.problem = microphoneProblem({ name: "NotFoundError" });
    this.#set({ muted });
  }

  /** Switch to another microphone. */
  async choose(device) {
    try {
      await this.room.switchActiveDevice("audioinput", device);
      this.problem = "";
    } catch (error) {
      this.problem = microphoneProblem(error, isSecureContext);
    }
    await this.#microphones();
  }

  /** Send text to the agent. */
  say(text) {
    return this.room.localParticipant.sendText(text, { topic: "lk.chat" });
  }

  /** Allow playback; to be called on a click. */
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
      .on(RoomEvent.TrackMuted, (_, participant) => participant.isLocal && !this.asking && this.#syncMuted())
      .on(RoomEvent.TrackUnmuted, (_, participant) => participant.isLocal && !this.asking && this.#syncMuted())
      .on(RoomEvent.Reconnecting, () => this.#set({ phase: "reconnecting" }))
      .on(RoomEvent.SignalReconnecting, () => this.#set({ phase: "reconnecting" }))
      .on(RoomEvent.Reconnected, () => this.#set({ phase: "connected" }))
      .on(RoomEvent.Disconnected, (reason) => {
        if (this.phase === "connecting" || this.phase === "over") return; // `join` reports it
        this.#close();
        this.#set({ phase: "over" });
        this.ended(endReason(reason));
      });
  }

  // A caller who waits for an agent in vain is told so.
  #await() {
    const came = this.people.some(({ agent }) => agent);
    if (came) {
      clearTimeout(this.waiting);
      this.alone = false;
      this.met = true;
      this.waiting = 0;
    } else this.waiting ||= setTimeout(() => this.phase !== "over" && this.#set({ alone: true }), ALONE);
  }

  #measure(track, show) {
    const { mediaStreamTrack } = track;
    if (this.meters.get(track)?.of === mediaStreamTrack) return;
    this.#forget(track);
    const meter = new AudioMeter(mediaStreamTrack, (value) => {
      show(value);
      this.loud?.();
    });
    this.meters.set(track, Object.assign(meter, { of: mediaStreamTrack }));
  }

  #forget(track) {
    this.meters.get(track)?.close();
    this.meters.delete(track);
  }

  async #microphones() {
    if (this.phase === "over") return;
    const devices = await this.livekit.Room.getLocalDevices("audioinput", false).catch(() => []);
    if (this.phase === "over") return;
    const track = this.#microphone;
    if (track) this.#measure(track, (level) => (this.spoken = this.muted ? 0 : level)); // each device has its own track
    const device = (await track?.getDeviceId().catch(() => "")) ?? "";
    this.#set({ devices: devices.filter(({ deviceId }) => deviceId), device });
  }

  #close() {
    clearTimeout(this.waiting);
    this.captured?.stop();
    for (const track of [...this.meters.keys()]) this.#forget(track);
    this.audio.remove();
  }
}
