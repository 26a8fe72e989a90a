// Filling in %variables for a request. Templates come from the configuration and from databases; the compiled forms of the latest are kept.
import { LRUCache } from 'lru-cache';
import { compileTemplate, type Template } from '#config/expand.js';
import type { AuthState } from './request.js';
import { authVariable } from './variables.js';

const maxTemplates = 1000;

export type Expander = (template: string, state: AuthState) => string;

export function createExpander(): Expander {
  const compiled = new LRUCache<string, Template>({ max: maxTemplates });
  return (text, state) => {
    if (!text.includes('%')) return text;
    let template = compiled.get(text);
    if (!template) {
      template = compileTemplate(text);
      compiled.set(text, template);
    }
    return template.expand((name) => authVariable(state, name));
  };
}
