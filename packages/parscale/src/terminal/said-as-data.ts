/** Failures that a command has printed among its results: with --json nothing more goes to stdout, which stays one document. */

const said = new WeakSet<Error>()

/** Marks what a command throws once its results are printed. */
export function saidAsData<E extends Error>(error: E): E {
  said.add(error)
  return error
}

export const isSaidAsData = (error: unknown): boolean => error instanceof Error && said.has(error)
