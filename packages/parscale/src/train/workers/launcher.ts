/** Whether a launcher (mpirun, srun) has started this process as one of several, by the variables that it sets. */

export interface Launched {
  readonly rank: number
  readonly size: number
  /** For messages. */
  readonly launcher: string
}

/**
 * PMI_* is MPICH's and Slurm's (--mpi=pmi2). Slurm's own variables are those of a step: SLURM_NTASKS and SLURM_PROCID are set in a batch
 * script, too, which is one process however many tasks it may start.
 */
const launchers = [
  { launcher: 'mpirun', rank: 'OMPI_COMM_WORLD_RANK', size: 'OMPI_COMM_WORLD_SIZE' },
  { launcher: 'srun', rank: 'SLURM_PROCID', size: 'SLURM_STEP_NUM_TASKS' },
  { launcher: 'mpiexec', rank: 'PMI_RANK', size: 'PMI_SIZE' },
] as const

/** undefined: nobody has, or this process is the only one. */
export function launchedAs(env: NodeJS.ProcessEnv): Launched | undefined {
  for (const { launcher, ...names } of launchers) {
    const [rank, size] = [wholeNumber(env[names.rank]), wholeNumber(env[names.size])]
    if (rank === undefined || size === undefined) continue
    return size > 1 && rank < size ? { rank, size, launcher } : undefined
  }
  return undefined
}

/** How srun lets tasks find each other; undefined: another launcher. */
export function slurmMpi({ launcher }: Launched, env: NodeJS.ProcessEnv): 'none' | 'pmi' | 'pmix' | undefined {
  if (launcher !== 'srun') return undefined
  if (env.PMIX_RANK !== undefined) return 'pmix'
  return env.PMI_RANK === undefined ? 'none' : 'pmi'
}

/** Tasks of the job in whose batch script this process runs, where there are several: it is none of them, and works alone. */
export function tasksOfBatch(env: NodeJS.ProcessEnv): number | undefined {
  const tasks = wholeNumber(env.SLURM_NTASKS)
  const isScript = env.SLURM_PROCID !== undefined && env.SLURM_STEP_NUM_TASKS === undefined
  return isScript && env.OMPI_COMM_WORLD_SIZE === undefined && tasks !== undefined && tasks > 1 ? tasks : undefined
}

const wholeNumber = (text: string | undefined): number | undefined => (text && /^\d+$/.test(text) ? Number(text) : undefined)
