import { mount, type Component } from "svelte";
import "./lib/base.css";
import { showTheme } from "./lib/theme";
import Login from "./screens/login/Login.svelte";

/** The pages in front of the sign-in. They load nothing of the console's shell. */
const DOORS: Record<string, Component> = {
  "/login": Login,
};

showTheme();
mount(DOORS[location.pathname.replace(/(.)\/$/, "$1")] ?? Login, { target: document.body });
