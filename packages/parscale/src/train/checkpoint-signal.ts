/** Saves a checkpoint when the process receives a signal. */
import process from 'node:process'

export interface CheckpointSignal {
  /** Whether one was asked for since the last call. */
  take(): boolean
  stop(): void
}

/** `kill -USR2` asks for a checkpoint without stopping the run. */
export function checkpointSignal(): CheckpointSignal {
  let asked = false
  const onSignal = () => {
    asked = true
  }
  process.on('SIGUSR2', onSignal)
  return {
    take: () => {
      const now = asked
      asked = false
      return now
    },
    stop: () => process.off('SIGUSR2', onSignal),
  }
}
