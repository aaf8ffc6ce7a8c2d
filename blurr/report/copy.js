/* Copy the command; where the browser lends no clipboard, select it. Without scripts there is no button. */
"use strict";
const button = document.getElementById("copy"), command = document.getElementById("command");
button.hidden = false;
button.onclick = async () => {
  try {
    await navigator.clipboard.writeText(command.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(command);
    button.textContent = "Selected: press Ctrl + C";
  }
};
