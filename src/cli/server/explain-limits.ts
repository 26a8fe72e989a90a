// `roost --explain-limits`: the arithmetic of the pools in words.
import { capacityRemarks, type LimitReport, loadWarnings, reportLimits } from '#config/limits.js';
import { loadConfig } from '#config/load.js';
import { serviceSettings } from '#config/service-settings.js';
import { settingsGroups } from '#services/registry.js';
import { badConfigExitCode, type Output, reportProblems } from './print-config.js';

function memoryText(octets: number): string {
  if (octets === Number.POSITIVE_INFINITY) return 'no limit';
  const gigabytes = octets / 1024 ** 3;
  return gigabytes >= 1 ? `${gigabytes.toFixed(1)} GB` : `${Math.round(octets / 1024 ** 2)} MB`;
}

function reportText(report: LimitReport): string {
  const { service, maxConnections, maxProcesses, clientsPerProcess, memoryBound, filesPerProcess, isolation, remarks } = report;
  const lines = [
    `service ${service}`,
    `  connections: at most ${maxConnections} at a time (${maxProcesses} ${maxProcesses === 1 ? 'process' : 'processes'} x ${clientsPerProcess})`,
    `  memory: at most ${memoryText(memoryBound)}; open files of a full process: ${filesPerProcess}`,
    `  isolation: ${isolation}`,
    ...remarks.map((remark) => `  ! ${remark}`),
  ];
  return `${lines.join('\n')}\n`;
}

/** @returns exit code: 0 also when there are remarks, they are advice */
export function explainLimits(configFile: string, output: Output): number {
  const config = loadConfig(configFile, { groups: settingsGroups, readsValueFiles: false, checksMachine: false });
  if (reportProblems(config, output)) return badConfigExitCode;
  const services = serviceSettings(config);
  const reports = reportLimits(services);
  output.out(reports.map(reportText).join('\n'));
  const total = reports.reduce((sum, { memoryBound }) => sum + memoryBound, 0);
  output.out(
    `\nall services: at most ${reports.reduce((sum, { maxProcesses }) => sum + maxProcesses, 0)} processes, memory ${memoryText(total)}\n`,
  );
  const remarks = [...loadWarnings(services).map(({ message, suggestion }) => `${message} (${suggestion})`), ...capacityRemarks(services)];
  for (const remark of remarks) output.out(`! ${remark}\n`);
  return 0;
}
