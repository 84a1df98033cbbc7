export { gradients } from './grad.ts'
