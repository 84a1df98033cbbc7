/** Training runs: configurations, recipes, the trainer. A promised subpath: names come and go with major versions only. */
export {
  freshModel,
  modelParameters,
  parseRunConfig,
  type RecipeName,
  type RecipeOptions,
  type RunConfig,
  recipes,
  type StepReport,
  Trainer,
  type TrainerInputs,
} from '../training/index.ts'
