export async function runDevelopmentInstance(_configFile: string): Promise<number> {
  throw new Error('todo');
}
