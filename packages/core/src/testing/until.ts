/** Resolves when something holds that is looked at in every turn of the event loop: so that a state of few turns is not missed, as by a clock. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve))
}
