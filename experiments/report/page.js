"use strict";
(() => {
  const slider = document.getElementById("generation");
  if (!slider) return;
  const times = slider.dataset.times.split(",").map(Number);

  // A run that ended before, or has no picture of it, shows its last one before that generation, and says which.
  const show = () => {
    const t = times[Number(slider.value)];
    document.getElementById("shown").textContent = `t = ${t}`;
    slider.setAttribute("aria-valuetext", `generation ${t}`);
    for (const row of document.querySelectorAll(".frames")) {
      const pictures = [...row.querySelectorAll("img")];
      const reached = pictures.filter((picture) => Number(picture.dataset.t) <= t);
      const shown = reached.at(-1) ?? pictures[0];
      for (const picture of pictures) picture.hidden = picture !== shown;
      row.querySelector(".at").textContent = `t = ${shown.dataset.t}`;
    }
  };
  slider.addEventListener("input", show);
  show();
})();
