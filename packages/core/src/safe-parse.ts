/** Checks of what strangers write: files and requests. */
import { z } from 'zod'

/**
 * As `schema.safeParse`, which throws where a list or text is expected and an object stands that has a `length` but no way to
 * become a number, as JSON can spell it ({"length": {"valueOf": 1}}): zod compares that length. Here it is an issue like others.
 *
 * @throws RangeError where the value is nested too deep
 */
export function safeParse<S extends z.ZodType>(schema: S, value: unknown): z.ZodSafeParseResult<z.output<S>> {
  try {
    return schema.safeParse(value)
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause
    const message = "Invalid input: expected a list or a text, received an object with a 'length' that is no number"
    const error = new z.ZodError([{ code: 'custom', path: [], message, input: value }]) as z.ZodError<z.output<S>>
    return { success: false, error }
  }
}
