"use strict";
// Three linked planes through one point of a volume. Nothing is loaded from elsewhere.

// The axes 0, 1, 2 of a volume run down, back and left.
const PLANES = {
  sagittal: { through: 2, down: 0, right: 1 },
  coronal: { through: 1, down: 0, right: 2 },
  axial: { through: 0, down: 1, right: 2 },
};
const STEPS = { ArrowUp: ["down", -1], ArrowDown: ["down", 1], ArrowLeft: ["right", -1], ArrowRight: ["right", 1], PageUp: ["through", -1], PageDown: ["through", 1] };
const WHOLE = { centre: 0.5, width: 1 }; // a window, in fractions of the brightest intensity
const [NARROWEST, WIDEST] = [0.02, 2];
const BLEND_STEP = 0.1;

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

// Voxels are stored as sagittal planes, one after the other.
const strides = (shape) => [shape[1], 1, shape[0] * shape[1]];

const indexOf = (at, shape) => strides(shape).reduce((sum, stride, axis) => sum + stride * at[axis], 0);

// The voxels of a volume, from the addresses of its sagittal planes.
async function decoded(addresses, shape) {
  const count = shape[0] * shape[1];
  const voxels = new Uint8Array(count * addresses.length);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [shape[1], shape[0]];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  for (const [plane, address] of addresses.entries()) {
    const image = new Image();
    image.src = address;
    await image.decode();
    context.drawImage(image, 0, 0);
    const rgba = context.getImageData(0, 0, canvas.width, canvas.height).data;
    for (let pixel = 0; pixel < count; pixel++) voxels[plane * count + pixel] = rgba[4 * pixel];
  }
  return voxels;
}

// What the screen shows for each level; levels are (intensity / brightest) ** gamma * white.
function screenGrays(white, gamma, { centre, width }) {
  const low = centre - width / 2;
  return Float32Array.from({ length: 256 }, (_, level) => {
    const intensity = (level / white) ** (1 / gamma);
    return 255 * clamp((intensity - low) / width, 0, 1) ** gamma;
  });
}

// The pixels of one plane, as red, green, blue and opacity. `left` and `right` are the images that
// are blended, `values` the levels of an overlay or null.
function pixels({ through, down, right: across }, at, shape, { left, right, weight, grays, values, colours, opacity }) {
  const steps = strides(shape);
  const rgba = new Uint8ClampedArray(4 * shape[down] * shape[across]);
  for (let row = 0, to = 0; row < shape[down]; row++) {
    let from = at[through] * steps[through] + row * steps[down];
    for (let column = 0; column < shape[across]; column++, to += 4, from += steps[across]) {
      const gray = (1 - weight) * grays[left[from]] + weight * grays[right[from]];
      const colour = values ? 4 * values[from] : 0;
      const cover = values ? (opacity * colours[colour + 3]) / 255 : 0;
      for (let band = 0; band < 3; band++) {
        rgba[to + band] = cover ? (1 - cover) * gray + cover * colours[colour + band] : gray;
      }
      rgba[to + 3] = 255;
    }
  }
  return rgba;
}

class Viewer {
  constructor(root) {
    this.root = root;
    this.data = JSON.parse(root.querySelector("script").textContent);
    this.volumes = new Map();
    this.at = this.data.shape.map((count) => count >> 1);
    this.windows = this.choices("echo").map(() => ({ ...WHOLE })); // of each echo
    this.blend = root.querySelector(".blend"); // whole numbers are images, between them it is a blend
    this.shown = +this.blend.value;
    this.before = this.shown ? this.shown - 1 : Math.min(1, this.data.names.length - 1);
    this.planes = [...root.querySelectorAll(".plane")];
    this.planes.forEach((plane) => this.listen(plane));
    this.choices("image").forEach((input, index) => (input.onchange = () => this.show(index)));
    this.blend.oninput = () => this.show(+this.blend.value);
    for (const input of [...this.choices("echo"), ...this.choices("overlay")]) input.onchange = () => this.load();
    this.choices("tool").forEach((input) => (input.onchange = () => this.use(input.value)));
    this.opacity = root.querySelector(".opacity input");
    if (this.opacity) this.opacity.oninput = () => this.draw();
    root.querySelector(".reset").onclick = () => this.reset();
    root.onkeydown = (event) => this.press(event);
    this.load();
  }

  choices(name) {
    return [...this.root.querySelectorAll(`[data-choice=${name}]`)];
  }

  selected(name) {
    return this.choices(name).findIndex((input) => input.checked);
  }

  // Selects the choice `by` places on.
  step(name, by = 1) {
    const inputs = this.choices(name);
    if (!inputs.length) return;
    const input = inputs[(this.selected(name) + by) % inputs.length];
    input.checked = true;
    input.onchange();
  }

  get window() {
    return this.windows[this.selected("echo")];
  }

  // Shows an image by its index; numbers between are blends of neighbours.
  show(index) {
    this.blend.value = clamp(index, 0, this.data.names.length - 1);
    const nearest = Math.round(+this.blend.value);
    this.choices("image")[nearest].checked = true;
    if (this.shown !== nearest) [this.before, this.shown] = [this.shown, nearest];
    this.load();
  }

  // Each volume is decoded when it is first shown, and then kept.
  volume(addresses) {
    if (!this.volumes.has(addresses)) this.volumes.set(addresses, decoded(addresses, this.data.shape));
    return this.volumes.get(addresses);
  }

  image(index, echo) {
    const { images, names, background } = this.data;
    return this.volume((images[names[index]] || images[background])[echo]);
  }

  // What was shown before is dimmed until what was chosen is decoded.
  async load() {
    const [place, echo] = [+this.blend.value, this.selected("echo")];
    const request = (this.request = {});
    this.root.setAttribute("aria-busy", true);
    const overlay = this.data.overlays[this.selected("overlay") - 1]; // the first choice is none
    const levels = overlay && overlay.levels[this.data.names[Math.round(place)]];
    const [left, right, values] = await Promise.all([
      this.image(Math.floor(place), echo),
      this.image(Math.ceil(place), echo),
      levels ? this.volume(levels[Math.min(echo, levels.length - 1)]) : null,
    ]);
    if (this.request !== request) return; // another choice since
    this.layers = { left, right, weight: place % 1, values, colours: overlay && overlay.colours };
    this.overlay = overlay;
    this.root.setAttribute("aria-busy", false);
    this.root.querySelectorAll(".colours").forEach((bar, index) => (bar.hidden = this.data.overlays[index] !== overlay));
    this.draw();
    this.data.names.forEach((_, index) => this.image(index, echo)); // so that flipping does not wait
  }

  draw() {
    if (!this.layers) return;
    const { white, gamma } = this.data;
    this.layers.grays = screenGrays(white, gamma, this.window);
    this.layers.opacity = this.opacity ? this.opacity.value / 100 : 0;
    this.planes.forEach((plane) => this.paint(plane));
    this.root.querySelector("output").textContent = this.description();
  }

  description() {
    const { centre, width } = this.window;
    const ends = [centre - width / 2, centre + width / 2].map((end) => `${Math.round(100 * end)}`);
    const parts = [`window ${ends.join(" to ")} % of the brightest`];
    if (this.layers.weight) parts.unshift(`${Math.round(100 * this.layers.weight)} % of the image on the right`);
    if (this.layers.values) {
      const level = this.layers.values[indexOf(this.at, this.data.shape)];
      const { name, unit, step } = this.overlay;
      parts.unshift(level ? `${name} ${(level * step).toFixed(Math.max(0, Math.ceil(-Math.log10(step))))} ${unit} at the crosshair` : `no ${name} at the crosshair`);
    }
    return parts.join(" · ");
  }

  paint(plane) {
    const { shape } = this.data;
    const axes = PLANES[plane.dataset.view];
    const { through, down, right } = axes;
    const canvas = plane.querySelector("canvas");
    [canvas.width, canvas.height] = [shape[right], shape[down]];
    const picture = new ImageData(pixels(axes, this.at, shape, this.layers), shape[right], shape[down]);
    canvas.getContext("2d").putImageData(picture, 0, 0);
    plane.style.setProperty("--x", `${(100 * (this.at[right] + 0.5)) / shape[right]}%`);
    plane.style.setProperty("--y", `${(100 * (this.at[down] + 0.5)) / shape[down]}%`);
    const slider = plane.parentElement.querySelector("input");
    slider.value = this.at[through];
    const count = `${this.at[through] + 1} of ${shape[through]}`;
    slider.setAttribute("aria-valuetext", count);
    slider.nextElementSibling.textContent = count;
  }

  move(axis, to) {
    this.at[axis] = clamp(Math.round(to), 0, this.data.shape[axis] - 1);
    this.draw();
  }

  // Changes the window of the echo shown; `by` is in fractions of the brightest intensity.
  adjust(by) {
    this.window.width = clamp(this.window.width + (by.width || 0), NARROWEST, WIDEST);
    this.window.centre = clamp(this.window.centre + (by.centre || 0), 0, 1);
    this.draw();
  }

  reset() {
    Object.assign(this.window, WHOLE);
    this.draw();
  }

  // Chooses what dragging does.
  use(tool) {
    this.root.dataset.tool = tool;
  }

  listen(plane) {
    const axes = PLANES[plane.dataset.view];
    const point = (event) => {
      const box = plane.getBoundingClientRect();
      this.move(axes.right, ((event.clientX - box.left) / box.width) * this.data.shape[axes.right] - 0.5);
      this.move(axes.down, ((event.clientY - box.top) / box.height) * this.data.shape[axes.down] - 0.5);
    };
    const isWindow = (event) => this.root.dataset.tool === "window" || event.buttons & 2;
    let last = null;
    plane.onpointerdown = (event) => {
      plane.setPointerCapture(event.pointerId);
      last = [event.clientX, event.clientY];
      if (!isWindow(event)) point(event);
    };
    plane.onpointermove = (event) => {
      if (!event.buttons || !last) return;
      if (!isWindow(event)) return point(event);
      const [x, y] = [event.clientX - last[0], event.clientY - last[1]];
      last = [event.clientX, event.clientY];
      this.adjust({ width: x / plane.clientWidth, centre: y / plane.clientHeight });
    };
    plane.oncontextmenu = (event) => event.preventDefault(); // the right button changes the window
    // Only in the focused plane: elsewhere the wheel scrolls the page.
    plane.addEventListener("wheel", (event) => {
      if (document.activeElement !== plane) return;
      event.preventDefault();
      this.move(axes.through, this.at[axes.through] + Math.sign(event.deltaY));
    }, { passive: false });
    plane.onkeydown = (event) => {
      const [along, by] = STEPS[event.key] || [];
      if (!along) return;
      event.preventDefault();
      this.move(axes[along], this.at[axes[along]] + by);
    };
    plane.parentElement.querySelector("input").oninput = (event) => this.move(axes.through, +event.target.value);
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const place = +this.blend.value;
    const actions = {
      f: () => this.show(this.before),
      ",": () => this.show(place - BLEND_STEP),
      ".": () => this.show(place + BLEND_STEP),
      e: () => this.step("echo"),
      o: () => this.step("overlay"),
      w: () => this.step("tool"),
      b: () => this.adjust({ centre: -0.05 }),
      d: () => this.adjust({ centre: 0.05 }),
      c: () => this.adjust({ width: -0.1 }),
      s: () => this.adjust({ width: 0.1 }),
      r: () => this.reset(),
    };
    if (/^[1-9]$/.test(event.key) && event.key <= this.data.names.length) this.show(event.key - 1);
    else if (event.key in actions) actions[event.key]();
  }
}

const viewers = [...document.querySelectorAll(".viewer")].map((root) => new Viewer(root));
if (viewers.length === 1) viewers[0].planes[0].focus({ preventScroll: true }); // keys work at once
