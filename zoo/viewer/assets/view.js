"use strict";

// Shows one case after another: its shapes as surfaces and, on their grid, in three planes.

const { Niivue, NVImage, NVMesh, SLICE_TYPE, MULTIPLANAR_TYPE, SHOW_RENDER } = niivue;
const VIEWS = ["all", "surface", "axial", "coronal", "sagittal"];
const TINT = 0.5; // opacity of shapes over a scan
const MOVES = {
  ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], PageUp: [0, 1, 0], PageDown: [0, -1, 0],
  ArrowUp: [0, 0, 1], ArrowDown: [0, 0, -1],
};
const OPTIONS = {
  backColor: [0.07, 0.08, 0.1, 1], crosshairColor: [0.45, 0.6, 0.8, 1], crosshairWidth: 1, crosshairWidthUnit: "mm",
  dragAndDropEnabled: false, isNearestInterpolation: true, logLevel: "error",
  viewModeHotKey: "", clipPlaneHotKey: "", cycleClipPlaneHotKey: "",
};

const element = (id) => document.getElementById(id);
const saved = element("saved") && JSON.parse(element("saved").textContent);
const count = Number(document.body.dataset.count);
const planes = new Niivue({ ...OPTIONS, multiplanarLayout: MULTIPLANAR_TYPE.COLUMN,
  multiplanarShowRender: SHOW_RENDER.NEVER, multiplanarEqualSize: true, tileMargin: 2 });
const surface = new Niivue({ ...OPTIONS, sliceType: SLICE_TYPE.RENDER, isOrientCube: true });
let drawable = false; // whether there is WebGL
let current = 0;      // number of the case
let facts = null;     // of that case

/** The bytes of a case's file, from this page or from the server. */
async function content(number, name) {
  if (saved) return Uint8Array.from(atob(saved[name]), (letter) => letter.charCodeAt(0));
  const response = await fetch(`${number}/${name}`);
  if (!response.ok) throw new Error(await response.text());
  return new Uint8Array(await response.arrayBuffer());
}

async function file(number, name) {
  return new File([await content(number, name)], name);
}

/** Show a case; what an earlier call still has on its way is dropped when it arrives. */
async function show(number) {
  current = number;
  delete document.body.dataset.ready;
  say("Loading ...");
  const found = JSON.parse(new TextDecoder().decode(await content(number, "facts.json")));
  if (current !== number) return;
  facts = found;
  for (const shape of facts.shapes) shape.opacity = 1;
  describe();
  if (!drawable) return showPicture(number);
  [...planes.volumes].forEach((volume) => planes.removeVolume(volume));
  [...surface.meshes].forEach((mesh) => surface.removeMesh(mesh));
  for (const name of facts.volumes) {
    const volume = await NVImage.loadFromFile({ file: await file(number, name), name });
    if (facts !== found) return;
    planes.addVolume(volume);
  }
  planes.scene.crosshairPos = planes.mm2frac(facts.focus);
  planes.createOnLocationChange();
  const [right, anterior, superior] = facts.facing;
  const degrees = 180 / Math.PI;
  surface.setRenderAzimuthElevation(
    Math.atan2(-right, -anterior) * degrees,
    Math.atan2(superior, Math.hypot(right, anterior)) * degrees,
  );
  apply();
  for (const shape of found.shapes) if (shape.shown) await loadSurface(shape, number);
  if (facts !== found) return;
  say("");
  document.body.dataset.ready = number;
}

async function loadSurface(shape, number) {
  if (shape.mesh !== undefined) return;
  shape.mesh = null; // on its way
  const given = await file(number, shape.surface);
  if (!given.size || !facts.shapes.includes(shape)) return;
  shape.mesh = await NVMesh.loadFromFile({
    file: given, gl: surface.gl, name: shape.surface, rgba255: [...shape.colour, 255],
  });
  if (!facts.shapes.includes(shape)) return;
  surface.addMesh(shape.mesh);
  apply();
}

async function showPicture(number) {
  const url = URL.createObjectURL(new Blob([await content(number, "picture.png")], { type: "image/png" }));
  let picture = document.querySelector("main img");
  if (!picture) document.querySelector("main").append(picture = document.createElement("img"));
  picture.alt = facts.title;
  picture.src = url;
  await picture.decode();
  say("This browser has no WebGL: a picture instead");
  document.body.dataset.ready = number;
}

/** How much of a shape is seen, from 0 to 1. */
function opacity(shape) {
  const share = Number(element("share").value);
  if (!shape.shown) return 0;
  return shape.opacity * { always: 1, after: share, before: 1 - share }[shape.when];
}

/** Bring what is drawn in line with the legend and the slider. */
function apply() {
  if (!drawable) return;
  for (const shape of facts.shapes) {
    if (!shape.mesh) continue;
    shape.mesh.visible = opacity(shape) > 0;
    shape.mesh.opacity = opacity(shape);
  }
  surface.drawScene();
  const volume = planes.volumes[facts.volumes.indexOf("shapes.nii.gz")];
  if (!volume) return;
  const colours = facts.codes.map(blended);
  const channel = (number) => colours.map((colour) => Math.round(colour[number]));
  volume.setColormapLabel({
    R: channel(0), G: channel(1), B: channel(2), A: channel(3), I: colours.map((_, code) => code),
  });
  planes.updateGLVolume();
}

/** Red, green, blue and alpha, from 0 to 255, of shapes that lie in one voxel. */
function blended(numbers) {
  let colour = [0, 0, 0], clear = 1;
  for (const shape of numbers.map((number) => facts.shapes[number])) {
    const share = opacity(shape);
    colour = colour.map((value, n) => value + (shape.colour[n] - value) * share);
    clear *= 1 - share;
  }
  return [...colour, 255 * (1 - clear) * (facts.volumes.length > 1 ? TINT : 1)];
}

/** Fill in what is said about the case, and the legend. */
function describe() {
  document.title = element("title").textContent = facts.title;
  element("model").textContent = facts.model;
  element("number").textContent = `${current + 1} of ${count}`;
  element("sent").textContent = `Shown: ${facts.sent}`;
  const warnings = [...facts.warnings, ...facts.notes];
  element("warnings").hidden = !warnings.length;
  element("warnings").replaceChildren(...warnings.map((line) => made("p", line)));
  element("compare").hidden = facts.shapes.every((shape) => shape.when === "always");
  element("legend").replaceChildren(...facts.shapes.map(entry));
  element("sections").replaceChildren(...facts.sections.flatMap(([heading, rows]) => {
    const table = made("table");
    for (const [name, value] of rows) {
      const row = made("tr");
      row.append(made("th", name), made("td", value));
      table.append(row);
    }
    return [made("h2", heading), table];
  }));
}

function entry(shape) {
  const item = made("li"), label = made("label"), box = made("input");
  Object.assign(box, { type: "checkbox", checked: shape.shown });
  box.addEventListener("change", async () => {
    shape.shown = box.checked;
    apply();
    if (drawable && shape.shown) await loadSurface(shape, current);
  });
  const swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const square = document.createElementNS(swatch.namespaceURI, "rect");
  for (const [key, value] of Object.entries({ width: 16, height: 16, rx: 3,
    fill: `rgb(${shape.colour.join(" ")})` })) square.setAttribute(key, value);
  swatch.append(square);
  label.append(box, swatch, made("span", shape.name), made("output", `${shape.ml} ml`));
  const slider = made("input");
  Object.assign(slider, { type: "range", min: 0.05, max: 1, step: 0.05, value: 1, title: "opacity" });
  slider.setAttribute("aria-label", `Opacity of ${shape.name}`);
  slider.addEventListener("input", () => {
    shape.opacity = Number(slider.value);
    apply();
  });
  item.append(label, slider);
  return item;
}

function made(tag, text = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

function say(text) {
  element("state").textContent = text;
  element("state").hidden = !text;
}

function choose(view) {
  document.body.dataset.view = view;
  for (const button of element("views").children) {
    button.setAttribute("aria-pressed", button.dataset.view === view);
  }
  const types = { axial: SLICE_TYPE.AXIAL, coronal: SLICE_TYPE.CORONAL, sagittal: SLICE_TYPE.SAGITTAL };
  if (!drawable) return;
  planes.setSliceType(types[view] ?? SLICE_TYPE.MULTIPLANAR);
  [planes, surface].forEach((each) => each.resizeListener());
}

function turnTo(number) {
  if (number >= 0 && number < count) guarded(show(number));
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !facts) return;
  const key = event.key, slider = element("share");
  if (MOVES[key] && event.target.type !== "range") planes.moveCrosshairInVox(...MOVES[key]);
  else if (key === " " && event.target.tagName !== "BUTTON") {
    slider.value = Number(slider.value) < 0.5 ? 1 : 0;
    apply();
  } else if (key === "v") choose(VIEWS[(VIEWS.indexOf(document.body.dataset.view) + 1) % VIEWS.length]);
  else if (key === "n") turnTo(current + 1);
  else if (key === "p") turnTo(current - 1);
  else if (key >= "1" && key <= "9") element("legend").children[key - 1]?.querySelector("input").click();
  else return;
  event.preventDefault();
}

function guarded(promise) {
  return promise.catch((error) => say(error.message));
}

async function start() {
  drawable = Boolean(document.createElement("canvas").getContext("webgl2"));
  element("cases").hidden = count < 2;
  element("share").addEventListener("input", apply);
  element("previous").addEventListener("click", () => turnTo(current - 1));
  element("next").addEventListener("click", () => turnTo(current + 1));
  for (const button of element("views").children) {
    button.addEventListener("click", () => choose(button.dataset.view));
  }
  document.addEventListener("keydown", pressed);
  planes.onLocationChange = ({ mm }) => {
    const [right, anterior, superior] = mm;
    element("position").textContent =
      `${right.toFixed(1)}, ${anterior.toFixed(1)}, ${superior.toFixed(1)} mm (right, anterior, superior)`;
  };
  if (drawable) {
    await planes.attachToCanvas(element("planes"));
    await surface.attachToCanvas(element("surface"));
  }
  choose("all");
  await show(Number(document.body.dataset.start));
}

guarded(start());
