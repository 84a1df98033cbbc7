/** The program of the worker that `loadInBrowser` starts. */
export {}
