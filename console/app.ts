import { mount } from "svelte";
import App from "./App.svelte";
import "./lib/base.css";
import { startRouter } from "./lib/router.svelte";
import { showTheme } from "./lib/theme";
import { SCREENS } from "./screens";

showTheme();
startRouter(SCREENS);
// In a task of its own: the first document is asked for before the screen is made, not after it.
setTimeout(() => mount(App, { target: document.body }));
