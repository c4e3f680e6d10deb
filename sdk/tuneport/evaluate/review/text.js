// What models wrote, shown as text and never as markup: every character stays, fenced code in a fixed width, differences marked.
"use strict";

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const WORD = /\s+|[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]|[\p{L}\p{M}\p{N}_]+|[^]/gu;
const MOST = 4e6; // cells of the table below: above it, lines are compared and not words

/** The text as blocks of prose and fenced code, the fences included. */
function blocks(text) {
  const found = [];
  let fence = "";
  for (const line of text.match(/[^\n]*\n|[^\n]+$/g) || []) {
    const mark = (line.match(FENCE) || [])[1];
    const inside = fence !== "" || Boolean(mark);
    const last = found[found.length - 1];
    if (last && last.code === inside && !(mark && fence === "")) last.text += line;
    else found.push({ code: inside, text: line });
    if (mark && fence === "") fence = mark;
    else if (mark && mark[0] === fence[0] && mark.length >= fence.length && line.trim() === mark) fence = "";
  }
  return found;
}

/** For each of the two lists, which of its parts the other lacks: by the longest common subsequence. */
function apart(one, two) {
  let start = 0, ends = [one.length, two.length];
  while (start < ends[0] && start < ends[1] && one[start] === two[start]) start += 1;
  while (ends[0] > start && ends[1] > start && one[ends[0] - 1] === two[ends[1] - 1]) ends = [ends[0] - 1, ends[1] - 1];
  const flags = [one, two].map((parts, side) => parts.map((_, place) => place >= start && place < ends[side]));
  const [high, wide] = ends.map((end) => end - start);
  if ((high + 1) * (wide + 1) > MOST) return null;
  const row = wide + 1, lengths = new Uint16Array((high + 1) * row);
  for (let i = high - 1; i >= 0; i -= 1) {
    for (let j = wide - 1; j >= 0; j -= 1) {
      lengths[i * row + j] = one[start + i] === two[start + j] ? lengths[(i + 1) * row + j + 1] + 1
        : Math.max(lengths[(i + 1) * row + j], lengths[i * row + j + 1]);
    }
  }
  for (let i = 0, j = 0; i < high && j < wide;) {
    if (one[start + i] === two[start + j]) { flags[0][start + i] = flags[1][start + j] = false; i += 1; j += 1; }
    else if (lengths[(i + 1) * row + j] >= lengths[i * row + j + 1]) i += 1;
    else j += 1;
  }
  return flags;
}

/** A space goes with the words around it: marked between two that are, and not at the edge of a run. */
function joined(parts) {
  return parts.map((part, place) => {
    const around = [parts[place - 1], parts[place + 1]].filter((other) => other && other.marked).length;
    return part.text.trim() !== "" || around === 0 ? part : { ...part, marked: around === 2 };
  });
}

/** Each text as parts with a flag: does the other lack it? By words; by lines where the texts are very long. */
function compared(left, right) {
  const lines = /[^\n]*\n|[^\n]+/g;
  for (const pattern of [WORD, lines]) {
    const parts = [left, right].map((text) => text.match(pattern) || []);
    const flags = apart(...parts);
    if (flags) return parts.map((list, side) => joined(list.map((text, place) => ({ text, marked: flags[side][place] }))));
  }
  return [left, right].map((text) => [{ text, marked: text !== "" }]);
}

/** Put a text into an element. `parts` cover it from its first character to its last. */
function render(element, text, parts) {
  element.replaceChildren();
  element.classList.toggle("empty", text === "");
  if (text === "") { element.textContent = "an empty answer"; return; }
  let place = 0, used = 0;
  for (const block of blocks(text)) {
    const box = document.createElement(block.code ? "pre" : "div");
    const into = block.code ? box.appendChild(document.createElement("code")) : box;
    let left = block.text.length;
    let run = null;
    while (left > 0) {
      const piece = parts[place].text.slice(used, used + left);
      const { marked } = parts[place];
      if (!run || run.marked !== marked) {
        run = { marked, node: document.createElement(marked ? "mark" : "span") };
        into.append(run.node);
      }
      run.node.append(piece);
      left -= piece.length;
      used += piece.length;
      if (used === parts[place].text.length) { place += 1; used = 0; }
    }
    element.append(box);
  }
}

/** Both answers, with what only one of them has marked if that is wanted. */
function renderBoth(left, right, marked) {
  const plain = [[{ text: left.text, marked: false }], [{ text: right.text, marked: false }]];
  const parts = marked ? compared(left.text, right.text) : plain;
  render(left.element, left.text, parts[0]);
  render(right.element, right.text, parts[1]);
}
