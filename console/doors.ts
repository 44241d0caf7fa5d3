import { mount, type Component } from "svelte";
import "./lib/base.css";
import { showTheme } from "./lib/theme";
import ConfirmEmail from "./screens/confirm-email/ConfirmEmail.svelte";
import Decision from "./screens/decision/Decision.svelte";
import Forgot from "./screens/forgot/Forgot.svelte";
import Invitation from "./screens/invitation/Invitation.svelte";
import Login from "./screens/login/Login.svelte";
import Reset from "./screens/reset/Reset.svelte";

/** The pages in front of the sign-in. They load nothing of the console's shell. */
const DOORS: Record<string, Component> = {
  "/login": Login,
  "/forgot": Forgot,
  "/reset-password": Reset,
  "/confirm-email": ConfirmEmail,
  "/invitation": Invitation,
  "/decision": Decision,
};

showTheme();
mount(DOORS[location.pathname] ?? Login, { target: document.body });
