// What to say when a mapped file of the process ends before the mapping does.
#pragma once

namespace parscale {

// From now on reading behind the end of a mapped file, or from a disk that fails, ends the process with one line that names the
// file and exit code 3, whichever engine has mapped it. `restore` is called before: it may only do what a handler may. On Linux;
// elsewhere it does nothing. Calling it again does nothing.
void nameBusErrors(void (*restore)());

}  // namespace parscale
