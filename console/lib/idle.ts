/** The time between two frames in which the browser has nothing to do, soon in any case. */
export const idle = (): Promise<void> =>
  new Promise((done) => ("requestIdleCallback" in window ? requestIdleCallback(() => done(), { timeout: 100 }) : setTimeout(done)));
