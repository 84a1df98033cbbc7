/** A run of the peer's, by us. */
import {
  type Answerer,
  answerTask,
  type BuiltTask,
  buildTask,
  ModelAnswerer,
  type TaskResult,
  taskData,
  taskResult,
} from '@parscale/core/internal/evaluation/tasks'
import type { TextModel } from '@parscale/core/internal/generation'
import { chatWriter } from '../chat-writer.ts'
import { DataSets } from '../data-sets.ts'
import { findTasks } from '../task-folder.ts'
import type { PeerRun } from './peer-runs.ts'

/** @param model writes prompts where the run asks for its chat template */
export async function buildHere(run: PeerRun, model?: TextModel): Promise<BuiltTask> {
  const { tasks } = await findTasks([run.task])
  const [config] = tasks
  const data = new DataSets({ env: {} })
  const read = await taskData(config!, async (split) => run.docs?.[split] ?? (await data.split(config!, split)), true)
  return buildTask(config!, read, {
    numFewshot: run.num_fewshot,
    limit: run.limit,
    seed: run.seed,
    fewshotAsMultiturn: run.multiturn,
    ...(run.chat && { chatTemplate: chatWriter(model!) }),
  })
}

export async function evaluateHere(
  run: PeerRun,
  model: TextModel,
  answerer: Answerer = new ModelAnswerer(model, { p: 1 }),
): Promise<TaskResult> {
  const task = await buildHere(run, model)
  return taskResult(task, await answerTask(task, answerer))
}
