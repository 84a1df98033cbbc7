/** The Node room: files and folders behind the portable interfaces. */
export { type FileSource, openFileSource } from './file-source.ts'
export { type ModelFolder, openModelFolder } from './model-folder.ts'
