import { mount } from "svelte";
import App from "./App.svelte";
import "./lib/base.css";
import { startRouter } from "./lib/router.svelte";
import { showTheme } from "./lib/theme";
import { SCREENS } from "./screens";

showTheme();
startRouter(SCREENS);
mount(App, { target: document.body });
