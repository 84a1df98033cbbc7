/** Environment variables that are no options of a command. docs/configuration.md and the man page print them. */

export const variables: readonly (readonly [name: string, meaning: string])[] = [
  [
    'PARSCALE_CONFIG',
    'the configuration file. Default: `parscale/config.toml` in `XDG_CONFIG_HOME`, else in `~/.config` (`APPDATA` on Windows)',
  ],
  [
    'PARSCALE_CACHE',
    "where what is made of models and data is kept. Default: the platform's cache folder, `~/.cache/parscale` on Linux",
  ],
  ['PARSCALE_API_KEY', 'the key that opens `parscale serve`, and that `parscale ps` sends'],
  ['PARSCALE_DEBUG', '`1`: print the stack of an unexpected error'],
  ['XDG_STATE_HOME', 'the history of chat lies in `parscale/` below it. Default: `~/.local/state` on Linux'],
  ['HF_HOME', "Hugging Face's folder. Default `~/.cache/huggingface` (below `XDG_CACHE_HOME` where set)"],
  ['HF_HUB_CACHE', 'the cache of models. Default `HF_HOME/hub`'],
  ['HF_TOKEN, HF_TOKEN_PATH', 'access token, or the file with it. Default: the file that `hf auth login` wrote'],
  ['HF_ENDPOINT', 'another hub. Default `https://huggingface.co`'],
  ['HF_HUB_OFFLINE', '`1`: use the cache only, never the network'],
  ['NO_COLOR, FORCE_COLOR', 'no colours; colours (and `0`: none) whatever stdout is. FORCE_COLOR goes first'],
]
