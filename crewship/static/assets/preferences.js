/** The preferences of a user that these pages know. */
export const ENTER = "pages.enter"; // "line" where Enter starts a new line in the chat
export const WORKSPACE = "pages.workspace"; // the id of the one that the chat opens in
export const CHOSEN = "crewship.workspace"; // in this browser: the id of the one that was open last
