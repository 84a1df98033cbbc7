/** Which version of a file one has: what changes in it, or another file in its place, changes this. */
import type { BigIntStats } from 'node:fs'

/** Bytes that are changed within one tick of the file system's clock (some milliseconds) after a look at it are not told apart. */
export const fileVersion = ({ size, mtimeNs, ino }: BigIntStats): string => `${size}-${mtimeNs}-${ino}`
