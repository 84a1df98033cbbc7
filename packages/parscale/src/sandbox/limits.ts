/** What a judged program may use. Everything beyond ends it, and its verdict says which limit it was. */
export interface Limits {
  /** CPU time of the program's process. */
  readonly cpuSeconds: number
  /** By the clock, for programs that sleep or start others. */
  readonly wallSeconds: number
  /** Address space of each process, and resident memory of all processes together. */
  readonly memoryBytes: number
  /** Processes and threads, the judge's own among them. */
  readonly processes: number
  /** The largest file. */
  readonly fileBytes: number
  /** All files together: the size of /tmp, the only place that can be written to. */
  readonly diskBytes: number
  readonly files: number
  readonly openFiles: number
}

/** `seconds` of CPU time as human-eval's timeout, three times as long by the clock: a busy machine fails no program. */
export const limitsOf = (seconds = 3, memoryBytes = 2 ** 30): Limits => ({
  cpuSeconds: seconds,
  wallSeconds: 3 * seconds,
  memoryBytes,
  processes: 32,
  fileBytes: 2 ** 24,
  diskBytes: 2 ** 25,
  files: 1000,
  openFiles: 64,
})
