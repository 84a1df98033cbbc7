import { expect, it } from 'vitest'
import { launchedAs, slurmMpi, tasksOfBatch } from './launcher.ts'

it.each([
  ['nobody', {}, undefined],
  ['mpirun', { OMPI_COMM_WORLD_RANK: '2', OMPI_COMM_WORLD_SIZE: '4' }, { rank: 2, size: 4, launcher: 'mpirun' }],
  ['mpirun of one', { OMPI_COMM_WORLD_RANK: '0', OMPI_COMM_WORLD_SIZE: '1' }, undefined],
  ['mpiexec of MPICH', { PMI_RANK: '1', PMI_SIZE: '2' }, { rank: 1, size: 2, launcher: 'mpiexec' }],
  ['a step of srun', { SLURM_PROCID: '3', SLURM_NTASKS: '4', SLURM_STEP_NUM_TASKS: '4' }, { rank: 3, size: 4, launcher: 'srun' }],
  ['a batch script, which may start four tasks and is none of them', { SLURM_PROCID: '0', SLURM_NTASKS: '4' }, undefined],
  [
    'mpirun in a batch script',
    { SLURM_PROCID: '0', SLURM_NTASKS: '4', OMPI_COMM_WORLD_RANK: '1', OMPI_COMM_WORLD_SIZE: '4' },
    { rank: 1, size: 4, launcher: 'mpirun' },
  ],
  [
    'mpirun of one within a step',
    { SLURM_PROCID: '3', SLURM_STEP_NUM_TASKS: '4', OMPI_COMM_WORLD_RANK: '0', OMPI_COMM_WORLD_SIZE: '1' },
    undefined,
  ],
  ['what is no number', { OMPI_COMM_WORLD_RANK: 'x', OMPI_COMM_WORLD_SIZE: '4' }, undefined],
  ['a rank that is not there', { OMPI_COMM_WORLD_RANK: '4', OMPI_COMM_WORLD_SIZE: '4' }, undefined],
])('%s', (_, env, expected) => {
  expect(launchedAs(env)).toEqual(expected)
})

it('knows by what tasks of srun find each other', () => {
  const step = { SLURM_PROCID: '1', SLURM_STEP_NUM_TASKS: '4' }
  expect(slurmMpi(launchedAs(step)!, step)).toBe('none')
  expect(slurmMpi(launchedAs(step)!, { ...step, PMI_RANK: '1' })).toBe('pmi')
  expect(slurmMpi(launchedAs(step)!, { ...step, PMIX_RANK: '1' })).toBe('pmix')
  const mpirun = { OMPI_COMM_WORLD_RANK: '1', OMPI_COMM_WORLD_SIZE: '4' }
  expect(slurmMpi(launchedAs(mpirun)!, mpirun)).toBeUndefined()
})

it('knows a batch script, which is none of the tasks that it may start', () => {
  const script = { SLURM_PROCID: '0', SLURM_NTASKS: '4' }
  expect(tasksOfBatch(script)).toBe(4)
  expect(tasksOfBatch({ ...script, SLURM_NTASKS: '1' })).toBeUndefined()
  expect(tasksOfBatch({ ...script, SLURM_STEP_NUM_TASKS: '1' })).toBeUndefined()
  expect(tasksOfBatch({ ...script, OMPI_COMM_WORLD_SIZE: '1' })).toBeUndefined()
  expect(tasksOfBatch({})).toBeUndefined()
})
