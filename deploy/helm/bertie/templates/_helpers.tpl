{{- define "bertie.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "bertie.selector" -}}
app.kubernetes.io/name: bertie
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: serve
{{- end -}}

{{- define "bertie.labels" -}}
{{ include "bertie.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "bertie.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "bertie.name" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "bertie.arguments" -}}
- serve
- {{ .Values.model.path | quote }}
- --host=0.0.0.0
- --port=8080
{{- with .Values.precision }}
- --precision={{ . }}
{{- end }}
{{- if .Values.accelerator.addresses }}
- --accelerator={{ join "," .Values.accelerator.addresses }}
- --accelerator-type={{ .Values.accelerator.type }}
{{- if not .Values.accelerator.fallback }}
- --no-fallback
{{- end }}
{{- if .Values.accelerator.tlsSecret }}
- --accelerator-tls-ca=/tls/ca.crt
{{- if .Values.accelerator.mutualTls }}
- --accelerator-tls-cert=/tls/tls.crt
- --accelerator-tls-key=/tls/tls.key
{{- end }}
{{- end }}
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "bertie.environment" -}}
- name: HF_HOME
  value: /cache
{{- with .Values.model.hubTokenSecret }}
- name: HF_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: token
{{- end }}
{{- with .Values.accelerator.tokenSecret }}
- name: BERTIE_ACCELERATOR_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: token
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
