"use strict";
// Three linked planes through one point of a volume. Nothing is loaded from elsewhere.

// The axes 0, 1, 2 of a volume run down, back and left.
const PLANES = {
  sagittal: { through: 2, down: 0, right: 1 },
  coronal: { through: 1, down: 0, right: 2 },
  axial: { through: 0, down: 1, right: 2 },
};
const STEPS = { ArrowUp: ["down", -1], ArrowDown: ["down", 1], ArrowLeft: ["right", -1], ArrowRight: ["right", 1] };

// The voxels of a volume: the gray levels of a PNG, whose pixels are in the order of the voxels.
async function decoded(png) {
  const image = new Image();
  image.src = `data:image/png;base64,${png}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const rgba = context.getImageData(0, 0, canvas.width, canvas.height).data;
  return rgba.filter((_, index) => index % 4 === 0);
}

class Viewer {
  constructor(root) {
    this.root = root;
    this.data = JSON.parse(root.querySelector("script").textContent);
    this.volumes = new Map();
    this.at = this.data.shape.map((count) => count >> 1);
    this.planes = [...root.querySelectorAll(".plane")];
    this.planes.forEach((plane) => this.listen(plane));
    root.querySelectorAll(".bar input").forEach((input) => (input.oninput = () => this.load()));
    root.onkeydown = (event) => this.select(event);
    this.load();
  }

  selected(name) {
    return this.root.querySelector(`[data-choice=${name}]:checked`).value;
  }

  // Each volume is decoded when it is first shown, and then kept.
  volume(png) {
    if (!this.volumes.has(png)) this.volumes.set(png, decoded(png));
    return this.volumes.get(png);
  }

  async load() {
    const { images, t2_maps: maps, background } = this.data;
    const [name, echo] = [this.selected("image"), this.selected("echo")];
    const volumes = await Promise.all([
      this.volume((images[name] || images[background])[echo]),
      name in maps ? this.volume(maps[name][0]) : null,
    ]);
    if (this.selected("image") !== name || this.selected("echo") !== echo) return; // changed since
    [this.grays, this.t2] = volumes;
    this.draw();
  }

  draw() {
    const opacity = this.root.querySelector(".opacity");
    this.opacity = opacity ? opacity.value / 100 : 0;
    this.planes.forEach((plane) => this.paint(plane));
    const [y, x] = [this.data.shape[1], this.data.shape[2]];
    const index = (this.at[0] * y + this.at[1]) * x + this.at[2];
    const value = this.t2 && this.t2[index] ? `T2 ${(this.t2[index] * this.data.t2_step_ms).toFixed(1)} ms` : "no T2";
    this.root.querySelector("output").textContent = this.t2 ? `${value} at the crosshair` : "";
  }

  paint(plane) {
    const { shape, white, t2_window_ms: [low, high], t2_step_ms: step, t2_colours: colours } = this.data;
    const { through, down, right } = PLANES[plane.dataset.view];
    const strides = [shape[1] * shape[2], shape[2], 1];
    const picture = new ImageData(shape[right], shape[down]);
    for (let row = 0, to = 0; row < shape[down]; row++) {
      for (let column = 0; column < shape[right]; column++, to += 4) {
        const from = this.at[through] * strides[through] + row * strides[down] + column * strides[right];
        const gray = (this.grays[from] * 255) / white;
        const t2 = this.t2 ? this.t2[from] : 0;
        const colour = 3 * Math.max(0, Math.min(255, Math.round((255 * (t2 * step - low)) / (high - low))));
        const weight = t2 ? this.opacity : 0;
        for (let band = 0; band < 3; band++) {
          picture.data[to + band] = (1 - weight) * gray + weight * colours[colour + band];
        }
        picture.data[to + 3] = 255;
      }
    }
    const canvas = plane.querySelector("canvas");
    [canvas.width, canvas.height] = [picture.width, picture.height];
    canvas.getContext("2d").putImageData(picture, 0, 0);
    plane.style.setProperty("--x", `${(100 * (this.at[right] + 0.5)) / shape[right]}%`);
    plane.style.setProperty("--y", `${(100 * (this.at[down] + 0.5)) / shape[down]}%`);
    const slider = plane.parentElement.querySelector("input");
    slider.value = this.at[through];
    slider.setAttribute("aria-valuetext", `${this.at[through] + 1} of ${shape[through]}`);
  }

  move(axis, to) {
    this.at[axis] = Math.max(0, Math.min(this.data.shape[axis] - 1, Math.round(to)));
    if (this.grays) this.draw();
  }

  listen(plane) {
    const { through, down, right } = PLANES[plane.dataset.view];
    const point = (event) => {
      const box = plane.getBoundingClientRect();
      this.move(right, ((event.clientX - box.left) / box.width) * this.data.shape[right] - 0.5);
      this.move(down, ((event.clientY - box.top) / box.height) * this.data.shape[down] - 0.5);
    };
    plane.onpointerdown = (event) => {
      plane.setPointerCapture(event.pointerId);
      point(event);
    };
    plane.onpointermove = (event) => event.buttons && point(event);
    // Only in the focused plane: elsewhere the wheel scrolls the page.
    plane.addEventListener("wheel", (event) => {
      if (document.activeElement !== plane) return;
      event.preventDefault();
      this.move(through, this.at[through] + Math.sign(event.deltaY));
    }, { passive: false });
    plane.onkeydown = (event) => {
      const axes = { through, down, right };
      const [along, by] = { ...STEPS, PageUp: ["through", -1], PageDown: ["through", 1] }[event.key] || [];
      if (!along) return;
      event.preventDefault();
      this.move(axes[along], this.at[axes[along]] + by);
    };
    plane.parentElement.querySelector("input").oninput = (event) => this.move(through, +event.target.value);
  }

  // The keys 1, 2, ... select an image, e the other echo.
  select(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const echoes = [...this.root.querySelectorAll("[data-choice=echo]")];
    const input = event.key === "e"
      ? echoes[(echoes.findIndex((echo) => echo.checked) + 1) % echoes.length]
      : this.root.querySelectorAll("[data-choice=image]")[/^[1-9]$/.test(event.key) ? event.key - 1 : -1];
    if (!input) return;
    input.checked = true;
    this.load();
  }
}

for (const root of document.querySelectorAll(".viewer")) new Viewer(root);
