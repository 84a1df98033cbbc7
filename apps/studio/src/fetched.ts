/** Parts of the program that come when they are asked for, and a sentence where they do not. */

/** @throws with a sentence in place of the browser's words, which differ and say nothing to a reader */
export async function part<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (cause) {
    throw new Error('a part of this page could not be fetched: the server does not answer, or has another version', {
      cause,
    })
  }
}
